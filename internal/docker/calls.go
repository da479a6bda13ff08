package docker

// Feature is a use of Docker that an operator may not want to allow.
type Feature string

// The features.
const (
	FeatureSession       Feature = "session"    // needed by all others
	FeatureInventory     Feature = "inventory"  // container guard: the list of containers
	FeatureLogs          Feature = "logs"       // log pipeline: sources = ["docker"]
	FeaturePause         Feature = "pause"      // actions pause, isolate, stop, and release
	FeatureDisconnect    Feature = "disconnect" // actions disconnect, isolate, and release
	FeatureKill          Feature = "kill"       // actions kill, stop
	FeatureRestartPolicy Feature = "restart-policy"
	FeatureEvidence      Feature = "evidence"
	FeatureRestart       Feature = "restart" // release where the namespace cannot be entered, and of what was killed
	FeatureImages        Feature = "images"  // SBOM scanner: images of running containers
)

// Call is one HTTP request this package can send. Path is without the version
// (/v1.41); {id} is the id of a container, network or image.
type Call struct {
	Feature Feature
	Method  string
	Path    string
	Why     string
}

// Calls lists every request by feature. A test compares it with the requests that
// are sent.
func Calls() []Call {
	return []Call{
		{FeatureSession, "HEAD", "/_ping", "is dockerd running, and which API version does it offer"},
		{FeatureSession, "GET", "/_ping", "the same, where a proxy refuses HEAD"},
		{FeatureSession, "GET", "/version", "version of dockerd, for the status"},
		{FeatureInventory, "GET", "/events", "containers started, ended, renamed, connected and disconnected"},
		{FeatureInventory, "GET", "/containers/json", "all containers, at start and every poll_interval_secs"},
		{FeatureInventory, "GET", "/containers/{id}/json", "addresses, process id, compose project and restart policy of a container"},
		{FeatureInventory, "GET", "/images/{id}/json", "labels of an image, which do not count as the container's"},
		{FeatureLogs, "GET", "/events", "containers created and removed"},
		{FeatureLogs, "GET", "/containers/json", "containers whose logs to read"},
		{FeatureLogs, "GET", "/containers/{id}/json", "log driver, terminal or not"},
		{FeatureLogs, "GET", "/images/{id}/json", "labels of an image, which do not count as the container's"},
		{FeatureLogs, "GET", "/containers/{id}/logs", "the log lines"},
		{FeaturePause, "POST", "/containers/{id}/pause", "freeze all processes"},
		{FeaturePause, "POST", "/containers/{id}/unpause", "release"},
		{FeatureDisconnect, "POST", "/networks/{id}/disconnect", "disconnect a container from each of its networks"},
		{FeatureDisconnect, "POST", "/networks/{id}/connect", "release: connect it again as before"},
		{FeatureKill, "POST", "/containers/{id}/kill", "SIGKILL; never stop, which thaws a paused container first"},
		{FeatureRestartPolicy, "POST", "/containers/{id}/update", "restart policy off before disconnecting or killing, restored on release"},
		{FeatureEvidence, "GET", "/containers/{id}/top", "processes"},
		{FeatureEvidence, "GET", "/containers/{id}/logs", "newest log lines"},
		{FeatureEvidence, "GET", "/containers/{id}/changes", "files that differ from the image"},
		{FeatureRestart, "POST", "/containers/{id}/restart", "release where old connections cannot be destroyed otherwise"},
		{FeatureImages, "GET", "/events", "containers started and ended, images loaded, pulled, tagged and removed"},
		{FeatureImages, "GET", "/containers/json", "the containers and the ids of their images"},
		{FeatureImages, "GET", "/images/{id}/json", "references, creation and size of an image"},
		{FeatureImages, "GET", "/images/get", "the layers of an image, as docker save writes them"},
	}
}
