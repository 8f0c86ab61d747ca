"""One module or folder per pallet: what it stores, calls, emits and refuses, and the code behind it."""
