"""The pictures, a file each: answers in, charts out."""
