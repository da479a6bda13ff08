// Package audit keeps a tamper-evident trail of actions: an append-only,
// hash-chained folder of files that services/actioncollector writes and that
// "ironpost audit verify" reads.
//
// A trail is a folder. audit.log is the segment being written; a full one is
// renamed to audit-<seq of its first record>.log. Each line is one record, a
// JSON object whose parts stand in a fixed order:
//
//	{"seq":7,"prev":"<hash>","time":"…","kind":"action","id":"…","stream_seq":9,"action":{…},"hash":"<hash>"}
//	{"seq":8,"prev":"<hash>","time":"…","kind":"break","reason":"…","hash":"<hash>"}
//
// hash is the SHA-256 of every byte of the line before `,"hash":`, in lower-case
// hex; prev is the hash of the record before, 64 zeros for the first. What
// follows the hashed bytes has one form only, so that no byte of a line,
// its line feed included, can change unseen. The head of the trail (seq and hash of its
// newest record) is also kept outside the folder; without it nobody could tell
// a trail whose end was cut off from a shorter one.
//
// A chain shows that a trail was changed. It cannot stop someone who may write
// both the folder and the place of the head from rewriting all of it.
package audit
