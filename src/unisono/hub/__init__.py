"""Models on the Hugging Face hub: their addresses, their way there and back, and the card that goes with them."""
