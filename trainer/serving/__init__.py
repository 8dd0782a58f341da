"""What a decision needs: a trading model, its files, and the proof that it loads unchanged."""
