"""Backups: history in one place, the key store in another, and the way back to any moment.

How it works. What an installation knows lies in two sorts of tables, and a backup has two parts to match.

- *History* (`anamnesis.backup.history`): the stored events and the signed heads. Nothing in them ever changes, and whatever is about a person is sealed; so each backup adds
  only what is new, the folder may be kept for years, and may lie where others can read it. A signed manifest says what belongs to it.
- *The key store* (`anamnesis.backup.keystore`): persons' keys, and every house table that may tell of somebody or hold a secret. It changes all the time, so it is one file,
  sealed under the key-encryption key and replaced as a whole: once a person's key is destroyed, the next backup has it no more, and the history of all years cannot tell of them.
- *Secrets* (the key-encryption key, the MAC's key, the signing keys) are in neither.

`anamnesis.backup.restoring` puts them together in an empty place. Everything else is made anew from the events: claims, heads, read models, the stream.

What may go wrong. Whoever was erased after the key store was written would come back with it. So a restore wants to be told where later erasures are on record, applies them
before anything can be served, and refuses to guess. An interrupted backup leaves the one before, whole; an interrupted restore leaves a mark, and nothing starts there.
"""
