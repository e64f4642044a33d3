package process

// Deleted are the paths that files had which p holds open and which have no name
// any more, as far as this process may look.
func (p *Process) Deleted() []string { return deleted(p.PID) }
