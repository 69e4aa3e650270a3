"""Where private keys are kept: in files, and in tokens (PKCS#11). Sources: docs/adr/0029."""
