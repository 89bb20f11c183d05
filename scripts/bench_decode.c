/* The baseline of bench_llm.py: greedy decoding with llama.cpp and nothing around it.
 *
 * bench_decode MODEL N_PROMPT N_DECODE THREADS N_CTX   prints tokens per second of the decode phase.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "ggml-cpu.h"
#include "llama.h"

static void quiet(enum ggml_log_level level, const char * text, void * data) {
    (void) level; (void) text; (void) data;
}

int main(int argc, char ** argv) {
    if (argc != 6) return 2;
    const int n_prompt = atoi(argv[2]), n_decode = atoi(argv[3]), threads = atoi(argv[4]), n_ctx = atoi(argv[5]);
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_params.use_extra_bufts = !ggml_cpu_has_amx_int8();  /* as automlgpt_local/llm/native.py has it */
    struct llama_model * model = llama_model_load_from_file(argv[1], model_params);
    if (!model) return 3;
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = n_ctx;
    params.n_batch = params.n_ubatch = 512;
    params.n_threads = params.n_threads_batch = threads;
    params.no_perf = true;
    struct llama_context * context = llama_init_from_model(model, params);
    if (!context) return 4;
    struct llama_sampler * sampler = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(sampler, llama_sampler_init_greedy());

    llama_token prompt[512];
    for (int i = 0; i < n_prompt && i < 512; ++i) prompt[i] = 20 + i % 60;
    if (llama_decode(context, llama_batch_get_one(prompt, n_prompt)) != 0) return 5;
    llama_token token = llama_sampler_sample(sampler, context, -1);
    const int64_t start = llama_time_us();
    for (int i = 0; i < n_decode; ++i) {
        if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) return 6;
        token = llama_sampler_sample(sampler, context, -1);
    }
    printf("%.4f\n", n_decode / ((llama_time_us() - start) / 1e6));
    return 0;
}
