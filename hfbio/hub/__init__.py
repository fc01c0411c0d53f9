"""Publish bundles on the Hugging Face Hub; with `space_repo` the only room that changes it."""
