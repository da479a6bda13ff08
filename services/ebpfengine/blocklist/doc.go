// Package blocklist makes the kernel's blocklist equal to what is wanted: the entries of the bus's bucket, which expire,
// merged with feeds from files, which hold as long as they stand there. It keeps the machine's lifelines on the kernel's
// allow list, which wins: a block that covers one stops everybody else.
//
// The wish is state, never a stream of commands. A Keeper holds all of it, compares it with what the kernel holds, and
// writes the difference in batches; what it missed, a restart included, the next comparison repairs. The kernel ends
// entries by its own clock, so nothing that happens here, or does not, lets an expired entry live or a valid one lapse.
package blocklist
