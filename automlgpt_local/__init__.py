"""AutoML-GPT Local: two agents on one local model turn a table into the best honest model, as code you own."""

__version__ = "0.1.0"
