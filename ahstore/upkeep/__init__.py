"""Keeping a store sound and small: fsck, gc, repack."""
