"""Why a model says what it says of one picture."""
