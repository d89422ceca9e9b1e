"""The benchmark as one call: data and contenders in, runs in processes of their own, tables and JSON out."""
