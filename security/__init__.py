"""What all trust rests on, and pure: bytes in, values out, or it raises."""
