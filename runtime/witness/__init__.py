"""A witness: cosigns the checkpoints of logs that it knows. For whichever program is to be one.

The rules are `security.witness`; here are its memory (`store`), its decision and signature
(`desk`), and its HTTP (`server`). Which logs it knows is the program's to say.
"""
