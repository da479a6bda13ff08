package docker

// Feature is something Ironpost does with the engine, and an operator may not
// want to allow.
type Feature string

// The features.
const (
	FeatureSession       Feature = "session"    // everything needs it
	FeatureInventory     Feature = "inventory"  // container guard: which containers there are
	FeatureLogs          Feature = "logs"       // log pipeline: sources = ["docker"]
	FeaturePause         Feature = "pause"      // actions pause, isolate, stop, and release
	FeatureDisconnect    Feature = "disconnect" // actions disconnect, isolate, and release
	FeatureKill          Feature = "kill"       // actions kill, stop
	FeatureRestartPolicy Feature = "restart-policy"
	FeatureEvidence      Feature = "evidence"
	FeatureRestart       Feature = "restart" // release where the namespace cannot be entered, and of what was killed
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
		{FeatureSession, "HEAD", "/_ping", "is the engine there, and which API version does it speak"},
		{FeatureSession, "GET", "/_ping", "the same where a proxy refuses HEAD"},
		{FeatureSession, "GET", "/version", "the engine's version, for the status"},
		{FeatureInventory, "GET", "/events", "what starts, ends, is renamed, connected or cut off"},
		{FeatureInventory, "GET", "/containers/json", "all containers, at start and every poll_interval_secs"},
		{FeatureInventory, "GET", "/containers/{id}/json", "addresses, process id, compose project and restart policy of one"},
		{FeatureLogs, "GET", "/events", "containers that come and go"},
		{FeatureLogs, "GET", "/containers/json", "containers whose logs to read"},
		{FeatureLogs, "GET", "/containers/{id}/json", "log driver, terminal or not"},
		{FeatureLogs, "GET", "/containers/{id}/logs", "the lines themselves"},
		{FeaturePause, "POST", "/containers/{id}/pause", "freeze all processes"},
		{FeaturePause, "POST", "/containers/{id}/unpause", "release"},
		{FeatureDisconnect, "POST", "/networks/{id}/disconnect", "take it off each of its networks"},
		{FeatureDisconnect, "POST", "/networks/{id}/connect", "release: put it back as it was"},
		{FeatureKill, "POST", "/containers/{id}/kill", "SIGKILL; never stop, which thaws a paused container first"},
		{FeatureRestartPolicy, "POST", "/containers/{id}/update", "restart policy to no before disconnecting or killing, and back on release"},
		{FeatureEvidence, "GET", "/containers/{id}/top", "processes"},
		{FeatureEvidence, "GET", "/containers/{id}/logs", "last lines"},
		{FeatureEvidence, "GET", "/containers/{id}/changes", "files that differ from the image"},
		{FeatureRestart, "POST", "/containers/{id}/restart", "release where old connections cannot be destroyed otherwise"},
	}
}
