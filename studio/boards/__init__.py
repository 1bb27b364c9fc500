"""What is known of a project and what is shown of it: facts gathered, and the board painted from them."""
