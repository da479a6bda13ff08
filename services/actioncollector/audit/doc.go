// Package audit keeps a tamper-evident trail of actions: an append-only, hash-chained folder of files
// that services/actioncollector writes and "ironpost audit verify" reads. It promises that an appended
// record is on the disk, that a crash at any moment leaves a trail that opens again, and that a changed,
// removed, added or reordered byte is found.
//
// A trail is a folder. audit.log is the active segment; a full one is renamed to
// audit-<seq of its first record>.log and is then a closed segment. Each line is one record, a JSON object
// whose parts have a fixed order:
//
//	{"seq":7,"prev":"<hash>","time":"…","kind":"action","id":"…","stream_seq":9,"action":{…},"hash":"<hash>"}
//	{"seq":8,"prev":"<hash>","time":"…","kind":"break","reason":"…","hash":"<hash>"}
//
// hash is the SHA-256 of every byte of the line before `,"hash":`, in lower-case hex; prev is the hash of
// the record before, 64 zeros for the first. The bytes that are not hashed have one valid form only, so no
// byte of a line, its line feed included, can change unseen. The head of the trail (seq and hash of its
// newest record) is also kept outside the folder; without it a trail whose end was cut off looks like a
// shorter one.
//
// Retention removes the oldest closed segments ([Trail.Prune]). A record of kind pruned, the first of a new
// segment, then names the first remaining record and the hash of the one before it, and the stored head names
// it too: a trail that begins later than its stored head allows was cut at its start.
//
// audit.index is a cache of what the closed segments were found to hold, so that [Open] reads the active
// segment only. Nothing relies on it: [Trail.Check] and [Verify] read every byte.
//
// A chain shows that a trail was changed. It cannot stop an attacker who may write both the folder and the
// stored head from rewriting all of it.
package audit
