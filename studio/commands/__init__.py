"""What the command line does, a file each: batch files, models, rendering a file, the terminal, serving."""
