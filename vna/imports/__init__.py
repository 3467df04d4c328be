"""What others bring: discs, answers to requests, parcels of guests, kept in quarantine at first."""
