// SPDX-License-Identifier: Apache-2.0

package main

// manualTexts is what help and manual pages say beside the flags, by command.
var manualTexts = map[string]string{
	"help": `Examples:

  mllbd help run`,
	"version": `Examples:

  mllbd version`,
	"": `Files:

  /run/mllb  journal of what is to be undone, and the lock; --state-dir

Examples:

  mllbd check
  mllbd run --mode assist -- make -j8
  mllbd restore`,
	"run": `Examples:

  mllbd run --mode observe --listen 127.0.0.1:9184
  mllbd run --mode assist --cgroup system.slice/web.service
  mllbd run --mode own --report report.json -- make -j8`,
	"restore": `Examples:

  mllbd restore`,
	"check": `Examples:

  mllbd check
  mllbd check --json`,
}
