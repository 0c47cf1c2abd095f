"""Random questions and hostile files, and one checker that holds every answer to what is promised."""
