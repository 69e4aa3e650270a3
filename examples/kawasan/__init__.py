"""An area permit across several regencies: one application, one answer."""
