;;; emacs.el --- Emacs with eglot against the real server -*- lexical-binding: t -*-
;; Drives the set-up of docs/editors.md and reports.
;; Environment: STARCODER_SETUP (that page's Lisp), STARCODER_FILE (completed at its end), STARCODER_REPORT (JSON).
;; Not `emacs -Q': Debian's eglot for Emacs 28 is a package of the site.

(require 'eglot)
(require 'json)

(load (getenv "STARCODER_SETUP"))

(defvar starcoder-report nil "What happened, as pairs; the last comes first.")

(defun starcoder-report (key value)
  "Note VALUE under KEY."
  (push (cons key value) starcoder-report))

(defun starcoder-steps ()
  "What a user would do."
  (find-file (getenv "STARCODER_FILE"))
  (python-mode)
  (call-interactively #'eglot)
  (goto-char (point-max))
  (let* ((before (buffer-string))
         (overlay (starcoder-suggest)))
    (starcoder-report 'before before)
    (starcoder-report 'ghost (and overlay (substring-no-properties (overlay-get overlay 'after-string))))
    (execute-kbd-macro (kbd "TAB"))
    (starcoder-report 'after (buffer-substring-no-properties (point-min) (point-max))))
  (mark-whole-buffer)
  (starcoder-report 'check (starcoder-check))
  (eglot-shutdown (eglot-current-server)))

(setq eglot-sync-connect t
      eglot-connect-timeout 90
      jsonrpc-default-request-timeout 90
      enable-local-variables nil)
(starcoder-report 'version emacs-version)
(condition-case problem
    (starcoder-steps)
  (error (starcoder-report 'failure (error-message-string problem))))
(with-temp-file (getenv "STARCODER_REPORT")
  (insert (json-encode (nreverse starcoder-report))))
