package docker

// Feature is something Ironpost does with the engine, and an operator may not
// want to allow.
type Feature string

// The features.
const (
	Session    Feature = "session"    // everything needs it
	Inventory  Feature = "inventory"  // container guard: which containers there are
	LogSource  Feature = "logs"       // log pipeline: sources = ["docker"]
	Freeze     Feature = "pause"      // actions pause, isolate, stop, and release
	Isolation  Feature = "disconnect" // actions disconnect, isolate, and release
	Killing    Feature = "kill"       // actions kill, stop
	Persisting Feature = "restart-policy"
	Evidence   Feature = "evidence"
	Restarting Feature = "restart" // release where the namespace cannot be entered, and of what was killed
)

// Call is one HTTP request this package can send. Path is as after the version
// (/v1.41); {id} stands for a container's or network's id.
type Call struct {
	Feature Feature
	Method  string
	Path    string
	Why     string
}

// Calls lists every request, by feature. A test holds it against what the
// package really sends.
func Calls() []Call {
	return []Call{
		{Session, "HEAD", "/_ping", "is the engine there, and which API version does it speak"},
		{Session, "GET", "/_ping", "the same where a proxy refuses HEAD"},
		{Session, "GET", "/version", "the engine's version, for the status"},
		{Inventory, "GET", "/events", "what starts, ends, is renamed, connected or cut off"},
		{Inventory, "GET", "/containers/json", "all containers, at start and every poll_interval_secs"},
		{Inventory, "GET", "/containers/{id}/json", "addresses, process id, compose project and restart policy of one"},
		{LogSource, "GET", "/events", "containers that come and go"},
		{LogSource, "GET", "/containers/json", "containers whose logs to read"},
		{LogSource, "GET", "/containers/{id}/json", "log driver, terminal or not"},
		{LogSource, "GET", "/containers/{id}/logs", "the lines themselves"},
		{Freeze, "POST", "/containers/{id}/pause", "freeze all processes"},
		{Freeze, "POST", "/containers/{id}/unpause", "release"},
		{Isolation, "POST", "/networks/{id}/disconnect", "take it off each of its networks"},
		{Isolation, "POST", "/networks/{id}/connect", "release: put it back as it was"},
		{Killing, "POST", "/containers/{id}/kill", "SIGKILL; never stop, which thaws a paused container first"},
		{Persisting, "POST", "/containers/{id}/update", "restart policy to no before disconnecting or killing, and back on release"},
		{Evidence, "GET", "/containers/{id}/top", "processes"},
		{Evidence, "GET", "/containers/{id}/logs", "last lines"},
		{Evidence, "GET", "/containers/{id}/changes", "files that differ from the image"},
		{Restarting, "POST", "/containers/{id}/restart", "release where old connections cannot be destroyed otherwise"},
	}
}
