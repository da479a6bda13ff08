// Package credential makes what other processes and machines need to join the bus of a daemon: an
// authority and the daemon's certificate, and for each host or plug-in a folder, the bundle, with a
// client certificate and the seeds of its nkeys. The public halves stay with the daemon, which
// reads them at its start and on SIGHUP. Secrets are files of mode 0600 in folders of mode 0700;
// nothing is overwritten unless the caller asks for it, and no link is followed.
package credential
