"""A search shown by other programs: a process of its own follows the ledger, and writes for TensorBoard and MLflow."""
