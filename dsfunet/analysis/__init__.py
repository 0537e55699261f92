"""From components to the numbers a crystallographer publishes. Nothing here needs torch."""
