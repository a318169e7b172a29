"""Experts that are trained: small networks whose weights lie beside the code as safetensors."""
