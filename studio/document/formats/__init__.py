"""Outside formats, one file each: in and out."""
