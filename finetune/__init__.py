"""From recorded and generated work to better agents: tables, teachers, rows, training, GGUF. Needs `[finetune]`."""
