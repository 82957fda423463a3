// SPDX-License-Identifier: Apache-2.0

package features

var conditions = [NumConditions]string{
	Passed: "passed", Throttled: "throttled", PerCPUKthread: "per_cpu_kthread", DelayedDequeue: "delayed_dequeue",
	Ineligible: "ineligible", Proxy: "proxy", CPUsAllowed: "cpus_allowed", OnSourceCPU: "on_source_cpu",
	ActiveBalance: "active_balance", LLCRule: "llc_rule", MigrationBlocked: "migration_blocked", Unexplained: "unexplained",
}

// String names the condition as dataset files do.
func (c Condition) String() string {
	if c < NumConditions {
		return conditions[c]
	}
	return "condition?"
}

var migrationTypes = [...]string{
	MigrateLoad: "load", MigrateUtil: "util", MigrateTask: "task", MigrateMisfit: "misfit", MigrateLLC: "llc_task",
}

// NumMigrationTypes is how many migration types there are.
const NumMigrationTypes = MigrationType(len(migrationTypes))

// String names the type as the kernel does, without the prefix "migrate_".
func (t MigrationType) String() string {
	if t < NumMigrationTypes {
		return migrationTypes[t]
	}
	return "migration_type?"
}
