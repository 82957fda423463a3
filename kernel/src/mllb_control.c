// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The network in the scheduler: which one, when it is asked, and what became of
 * it. /sys/kernel/debug/sched/mllb/ is described in
 * Documentation/scheduler/sched-mllb.rst.
 */
#define pr_fmt(fmt) "sched/mllb: " fmt

#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/jump_label.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#ifdef CONFIG_SCHED_MLLB_FLOAT
#include <asm/simd.h>
#include <linux/fpu.h>
#endif

#include "mllb_control.h"
#include "mllb_default.h"

#define CREATE_TRACE_POINTS
#include <trace/events/sched_mllb.h>

DEFINE_STATIC_KEY_FALSE(sched_mllb_asked);
DEFINE_STATIC_KEY_FALSE(sched_mllb_replaces);
DEFINE_STATIC_KEY_FALSE(sched_mllb_floats);

DEFINE_PER_CPU(struct mllb_stats, mllb_stats);

/* Held by whoever changes the model, the mode or the arithmetic. */
static DEFINE_MUTEX(mllb_lock);
struct mllb_loaded __rcu *mllb_current;

#ifdef CONFIG_SCHED_MLLB_FLOAT
/* Whether the FPU could be had for this decision. */
static bool mllb_ask_floats(const struct mllb_model *m, const struct mllb_facts *f,
			    const struct mllb_vector *v, s32 *logit, bool *migrate)
{
	if (!static_branch_unlikely(&sched_mllb_floats))
		return false;
	if (!m->has_floats || !may_use_simd()) {
		__this_cpu_inc(mllb_stats.no_fpu);
		return false;
	}
	kernel_fpu_begin();
	*logit = mllb_logit_float(m, f, v, migrate);
	kernel_fpu_end();
	__this_cpu_inc(mllb_stats.floats);
	return true;
}
#else
static bool mllb_ask_floats(const struct mllb_model *m, const struct mllb_facts *f,
			    const struct mllb_vector *v, s32 *logit, bool *migrate)
{
	return false;
}
#endif

int mllb_ask_watched(struct task_struct *p, int src_cpu, int dst_cpu,
		     const struct mllb_facts *f, int rule)
{
	const struct mllb_model *m = &rcu_dereference_sched(mllb_current)->model;
	bool migrate, fixed = true;
	struct mllb_vector v;
	s32 logit;

	mllb_fill(&v, f);
	if (!mllb_in_range(m, &v)) {
		if (rule != MLLB_UNASKED)
			trace_sched_mllb_decision(p, src_cpu, dst_cpu, f, rule, MLLB_UNASKED, 0,
						  true, m->crc);
		return mllb_count_outside(rule);
	}
	fixed = !mllb_ask_floats(m, f, &v, &logit, &migrate);
	if (fixed) {
		logit = mllb_logit(m, &v, m->small);
		migrate = logit >= m->threshold;
	}
	if (rule != MLLB_UNASKED)
		trace_sched_mllb_decision(p, src_cpu, dst_cpu, f, rule, migrate, logit, fixed,
					  m->crc);
	return mllb_count(rule, migrate);
}

static int mllb_load(const void *blob, size_t size, bool built_in)
{
	struct mllb_loaded *loaded, *old;
	const char *why;
	int err;

	loaded = kvzalloc(sizeof(*loaded), GFP_KERNEL);
	if (!loaded)
		return -ENOMEM;
	err = mllb_parse(&loaded->model, blob, size, &why);
	if (err) {
		pr_warn_ratelimited("model refused: %s\n", why);
		kvfree(loaded);
		return err;
	}
	loaded->built_in = built_in;
	mutex_lock(&mllb_lock);
	old = rcu_replace_pointer(mllb_current, loaded, lockdep_is_held(&mllb_lock));
	mutex_unlock(&mllb_lock);
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

/* A write is a whole blob. */
static ssize_t mllb_model_write(struct file *file, const char __user *ubuf,
				size_t size, loff_t *ppos)
{
	void *blob;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (size > MLLB_BLOB_MAX) {
		pr_warn_ratelimited("model refused: too large\n");
		return -EFBIG;
	}
	blob = memdup_user(ubuf, size);
	if (IS_ERR(blob))
		return PTR_ERR(blob);
	err = mllb_load(blob, size, false);
	kfree(blob);
	return err ? err : size;
}

static int mllb_model_show(struct seq_file *s, void *unused)
{
	static const char * const sets[] = {
		[MLLB_PAPER15] = "paper15", [MLLB_LOCALITY17] = "locality17",
	};
	const struct mllb_loaded *loaded;
	const struct mllb_model *m;

	rcu_read_lock();
	loaded = rcu_dereference(mllb_current);
	m = &loaded->model;
	seq_printf(s, "source %s\n", loaded->built_in ? "built-in" : "loaded");
	seq_printf(s, "crc %08x\n", m->crc);
	seq_printf(s, "features %s\n", sets[m->set]);
	seq_printf(s, "hidden %u\n", m->hidden);
	seq_printf(s, "threshold %d\n", m->threshold);
	seq_printf(s, "ranges %s\n", m->has_ranges ? "yes" : "no");
	seq_printf(s, "pairs %u\n", m->pairs.limit);
	seq_printf(s, "floats %s\n", m->has_floats ? "yes" : "no");
	rcu_read_unlock();
	return 0;
}

static int mllb_model_open(struct inode *inode, struct file *file)
{
	return single_open(file, mllb_model_show, NULL);
}

static const struct file_operations mllb_model_fops = {
	.open		= mllb_model_open,
	.write		= mllb_model_write,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};

/* A choice of words, shown with the one that holds in brackets. */
static void mllb_show_choice(struct seq_file *s, const char * const *words, int n, int at)
{
	int i;

	for (i = 0; i < n; i++)
		seq_printf(s, i == at ? "%s[%s]" : "%s%s", i ? " " : "", words[i]);
	seq_putc(s, '\n');
}

static int mllb_read_choice(const char * const *words, int n, const char __user *ubuf, size_t size)
{
	char word[16];

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, ubuf, size))
		return -EFAULT;
	word[size] = '\0';
	return match_string(words, n, strstrip(word));
}

enum mllb_mode {
	MLLB_OFF,
	MLLB_REPLACE,
	MLLB_SHADOW,
};

static const char * const mllb_modes[] = {
	[MLLB_OFF] = "off", [MLLB_REPLACE] = "replace", [MLLB_SHADOW] = "shadow",
};

static ssize_t mllb_mode_write(struct file *file, const char __user *ubuf,
			       size_t size, loff_t *ppos)
{
	int mode = mllb_read_choice(mllb_modes, ARRAY_SIZE(mllb_modes), ubuf, size);

	if (mode < 0)
		return mode;
	mutex_lock(&mllb_lock);
	/* Never replaced but not asked: whoever is off last is on first. */
	if (mode == MLLB_OFF) {
		static_branch_disable(&sched_mllb_replaces);
		static_branch_disable(&sched_mllb_asked);
	} else {
		static_branch_enable(&sched_mllb_asked);
		if (mode == MLLB_REPLACE)
			static_branch_enable(&sched_mllb_replaces);
		else
			static_branch_disable(&sched_mllb_replaces);
	}
	mutex_unlock(&mllb_lock);
	return size;
}

static int mllb_mode_show(struct seq_file *s, void *unused)
{
	int mode = MLLB_OFF;

	if (static_key_enabled(&sched_mllb_replaces))
		mode = MLLB_REPLACE;
	else if (static_key_enabled(&sched_mllb_asked))
		mode = MLLB_SHADOW;
	mllb_show_choice(s, mllb_modes, ARRAY_SIZE(mllb_modes), mode);
	return 0;
}

static int mllb_mode_open(struct inode *inode, struct file *file)
{
	return single_open(file, mllb_mode_show, NULL);
}

static const struct file_operations mllb_mode_fops = {
	.open		= mllb_mode_open,
	.write		= mllb_mode_write,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};

#ifdef CONFIG_SCHED_MLLB_FLOAT
static const char * const mllb_ariths[] = { "fixed", "float" };

static ssize_t mllb_arith_write(struct file *file, const char __user *ubuf,
				size_t size, loff_t *ppos)
{
	int arith = mllb_read_choice(mllb_ariths, ARRAY_SIZE(mllb_ariths), ubuf, size);

	if (arith < 0)
		return arith;
	mutex_lock(&mllb_lock);
	if (arith)
		static_branch_enable(&sched_mllb_floats);
	else
		static_branch_disable(&sched_mllb_floats);
	mutex_unlock(&mllb_lock);
	return size;
}

static int mllb_arith_show(struct seq_file *s, void *unused)
{
	mllb_show_choice(s, mllb_ariths, ARRAY_SIZE(mllb_ariths),
			 static_key_enabled(&sched_mllb_floats));
	return 0;
}

static int mllb_arith_open(struct inode *inode, struct file *file)
{
	return single_open(file, mllb_arith_show, NULL);
}

static const struct file_operations mllb_arith_fops = {
	.open		= mllb_arith_open,
	.write		= mllb_arith_write,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};
#endif

static void mllb_add_stats(struct mllb_stats *sum, const struct mllb_stats *one)
{
	int rule, net;

	for (net = 0; net < 2; net++) {
		for (rule = 0; rule < 2; rule++)
			sum->both[rule][net] += READ_ONCE(one->both[rule][net]);
		sum->alone[net] += READ_ONCE(one->alone[net]);
	}
	sum->outside += READ_ONCE(one->outside);
	sum->floats += READ_ONCE(one->floats);
	sum->no_fpu += READ_ONCE(one->no_fpu);
}

static void mllb_show_stats(struct seq_file *s, const char *name, const struct mllb_stats *c)
{
	seq_printf(s, "%-6s %9llu %9llu %9llu %9llu %9llu %9llu %9llu %9llu %9llu\n", name,
		   c->both[0][0], c->both[0][1], c->both[1][0], c->both[1][1],
		   c->alone[0], c->alone[1], c->outside, c->floats, c->no_fpu);
}

static int mllb_stats_show(struct seq_file *s, void *unused)
{
	struct mllb_stats sum = {};
	char name[16];
	int cpu;

	seq_printf(s, "%-6s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "cpu", "stay/stay",
		   "stay/go", "go/stay", "go/go", "-/stay", "-/go", "outside",
		   "float", "no_fpu");
	for_each_possible_cpu(cpu) {
		const struct mllb_stats *one = per_cpu_ptr(&mllb_stats, cpu);

		snprintf(name, sizeof(name), "%d", cpu);
		mllb_show_stats(s, name, one);
		mllb_add_stats(&sum, one);
	}
	mllb_show_stats(s, "all", &sum);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mllb_stats);

void __init mllb_debugfs_init(struct dentry *parent)
{
	struct dentry *dir;

	if (!rcu_access_pointer(mllb_current))
		return;
	dir = debugfs_create_dir("mllb", parent);
	debugfs_create_file("mode", 0644, dir, NULL, &mllb_mode_fops);
#ifdef CONFIG_SCHED_MLLB_FLOAT
	debugfs_create_file("arith", 0644, dir, NULL, &mllb_arith_fops);
#endif
	debugfs_create_file("model", 0644, dir, NULL, &mllb_model_fops);
	debugfs_create_file("stats", 0444, dir, NULL, &mllb_stats_fops);
}

/* Without a model there are no files, and nobody is asked. */
static int __init mllb_init(void)
{
	static __le32 blob[ARRAY_SIZE(mllb_default)] __initdata;
	int i;

	for (i = 0; i < ARRAY_SIZE(blob); i++)
		blob[i] = cpu_to_le32(mllb_default[i]);
	return mllb_load(blob, sizeof(blob), true);
}
core_initcall(mllb_init);
