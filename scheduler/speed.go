// SPDX-License-Identifier: Apache-2.0

package scheduler

import "mllb/features"

// Loads compare per speed, as the kernel's do per capacity: a CPU half as fast is even
// with another when it has half the load. Speeds are measured, a few percent up or down
// each time, and balancing must neither follow that nor take CPUs that are alike for
// different ones. So they count in eighths of the fastest CPU's, grades, and a CPU keeps
// its grade until its speed is a whole step away. One whose speed is not known counts as
// the fastest. Only ratios matter: where all have one grade, it does not matter which.
const (
	fullGrade = 8
	gradeStep = features.FullSpeed / fullGrade
)

// grade gives the queues their speeds.
func (p *pass) grade() {
	grades := zeroed(p.plan.effect.grades, len(p.queues))
	p.plan.effect.grades, p.uniform = grades, true
	first := int64(0)
	for i := range p.ups {
		q := &p.queues[i]
		if speed := p.s.Runqueues[i].Speed; speed > 0 {
			grades[i] = gradeOf(speed, p.state.grades[i])
			q.speed = int64(grades[i])
		}
		if !p.ups[i] {
			continue
		}
		if first == 0 {
			first = q.speed
		}
		p.uniform = p.uniform && q.speed == first
	}
}

// gradeOf returns the grade of a CPU that had another, or 0 for none, at the last tick.
func gradeOf(speed uint32, had uint8) uint8 {
	v := int32(min(speed, features.FullSpeed))
	if off := v - int32(had)*gradeStep; had > 0 && max(off, -off) < gradeStep {
		return had
	}
	return uint8(max(1, (v+gradeStep/2)/gradeStep))
}

// lighter reports whether a has less load than b per speed or, if neither has, is faster.
func (a *queue) lighter(b *queue) bool {
	x, y := a.load*b.speed, b.load*a.speed
	return x < y || x == y && a.speed > b.speed
}

// spares is the guard between two CPUs: after a move of weight w from a to b, a must still
// be at least as loaded. Or b is idle and slower, and what moves waits for no less there
// than here: then it gains nothing, but what stays behind does.
func (a *queue) spares(b *queue, w int64) bool {
	return (a.load-w)*b.speed >= (b.load+w)*a.speed ||
		b.speed < a.speed && b.len == 0 && a.load > w && w*a.speed <= a.load*b.speed
}

// gain returns Candidate.Gain, by the shares of the two CPUs and their speeds.
func (p *pass) gain(e *entry, to int32) int64 {
	from, w := e.cpu, int64(e.weight)
	return features.FullSpeed*p.queues[from].load*p.speed(to)/(p.speed(from)*(p.queues[to].load+w)) - features.FullSpeed
}

// speed returns what was measured of a CPU, not its grade.
func (p *pass) speed(cpu int32) int64 {
	if int(cpu) < len(p.s.Runqueues) && p.s.Runqueues[cpu].Speed > 0 {
		return int64(p.s.Runqueues[cpu].Speed)
	}
	return features.FullSpeed
}
