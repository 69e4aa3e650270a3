"""Which contracts are much alike: words in two languages, shapes, and what two contracts share."""
