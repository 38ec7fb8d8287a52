"""Opens documents: the only place where PyMuPDF and Pillow touch a user's file."""
