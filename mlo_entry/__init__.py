"""The ENTRYPOINT of a GPU image: makes an anonymous container the user's machine, then hands over to their command."""
