"""The user's side of a deployment: the file, networks over nodes, signing, contracts, the vault, the demo."""
