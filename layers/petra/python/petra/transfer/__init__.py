"""Ways across the gap: chunks, parity, guards, media, diodes, receipts."""
