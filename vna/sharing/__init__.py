"""What is given on: shares, their grants, the secrets and sessions that open them, consents."""
