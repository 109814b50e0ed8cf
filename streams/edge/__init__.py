"""edge: an OpenAI-compatible endpoint, so that an application changes one base URL."""
