-- llama.vim, unchanged, against our engine: a key is typed, ghost text is read, Tab.
-- Environment: STARCODER_LLAMA_VIM (the plug-in), STARCODER_ENGINE (the engine's URL), STARCODER_TOKEN, STARCODER_FILE
-- (completed at its end), STARCODER_REPORT.

local harness = dofile(vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/neovim_harness.lua')
local report, wait, text = harness.report, harness.wait, harness.text

vim.g.llama_config = { endpoint_fim = vim.env.STARCODER_ENGINE .. '/infill', api_key = vim.env.STARCODER_TOKEN }
vim.opt.runtimepath:append(vim.env.STARCODER_LLAMA_VIM)
vim.cmd.runtime('plugin/llama.vim')

-- The text of the suggestion, and of the line of figures behind it.
local function ghost()
  local namespace = vim.api.nvim_create_namespace('vt_fim')
  local first, rest, figures = '', '', ''
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
    if mark[4].virt_text then
      first, figures = mark[4].virt_text[1][1], mark[4].virt_text[2][1]
    end
    for _, below in ipairs(mark[4].virt_lines or {}) do
      rest = rest .. '\n' .. below[1][1]
    end
  end
  return first .. rest, figures
end

harness.run(function()
  vim.cmd.edit(vim.env.STARCODER_FILE)
  vim.api.nvim_input('GA ')
  wait('ghost text', function()
    return ghost():find('%S') ~= nil
  end)
  report.ghost, report.figures = ghost()
  report.before = text()
  vim.api.nvim_input('<Tab>')
  wait('the suggestion to be taken', function()
    return text() ~= report.before
  end)
  report.after = text()
end)
