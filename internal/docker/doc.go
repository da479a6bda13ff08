// Package docker is the part of Docker's Engine API that Ironpost needs: containers,
// their events and logs; pausing, disconnecting, killing and restoring a container;
// exporting the images they run.
// It is the only importer of github.com/docker/docker, which is frozen upstream, so
// that the library can be replaced here.
//
// A Client survives restarts of dockerd. Every call has a time budget, every response a
// maximum size, and every error a Class, whose Retryable reports whether trying again can help.
// Containers and images are named by full id only: between two calls another container may get a
// name, and Docker prefers a name over an id's prefix.
//
// Calls lists every HTTP request the package can send; docs/docker-api.md and the
// allow-lists for socket proxies are generated from it.
package docker
