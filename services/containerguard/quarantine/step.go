package quarantine

// Step is one thing done to a container. It is in the ledger before it is done.
type Step string

// The steps of holding, in their order, and of releasing, in theirs.
const (
	StepIntent        Step = "intent"
	StepFreeze        Step = "freeze"
	StepRestartPolicy Step = "restart-policy"
	StepDisconnect    Step = "disconnect"
	StepHeld          Step = "held"
	StepEvidence      Step = "evidence"
	StepKill          Step = "kill"

	StepSever          Step = "sever"
	StepConnect        Step = "connect"
	StepRestoreRestart Step = "restore-restart-policy"
	StepThaw           Step = "thaw"
	StepStart          Step = "start"
	StepReleased       Step = "released"
)

// IsolationSteps lists the steps of holding in their order.
func IsolationSteps() []Step {
	return []Step{StepIntent, StepFreeze, StepRestartPolicy, StepDisconnect, StepHeld, StepEvidence, StepKill}
}

// ReleaseSteps lists the steps of a release in their order.
func ReleaseSteps() []Step {
	return []Step{StepSever, StepConnect, StepRestoreRestart, StepThaw, StepStart, StepReleased}
}
