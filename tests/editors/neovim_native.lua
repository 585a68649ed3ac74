-- Neovim 0.12's own inline completion with the set-up of docs/editors.md: keys are typed, ghost text is read, Tab.
-- Environment: STARCODER_SETUP (that page's Lua), STARCODER_FILE (completed at its end), STARCODER_KEYS (typed there),
-- STARCODER_REPORT.

local harness = dofile(vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/neovim_harness.lua')
local report, wait, text = harness.report, harness.wait, harness.text
local states = {}

-- Only to learn when the engine is ready; a user needs no more than the set-up of the page.
vim.lsp.config('starcoder', {
  capabilities = { experimental = { starcoder = true } },
  handlers = {
    ['starcoder/status'] = function(_, status)
      table.insert(states, status.state)
    end,
  },
})
dofile(vim.env.STARCODER_SETUP)

local function ghost()
  local namespace = vim.api.nvim_create_namespace('nvim.lsp.inline_completion')
  local lines = {}
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
    table.insert(lines, mark[4].virt_text[1][1])
    for _, below in ipairs(mark[4].virt_lines or {}) do
      table.insert(lines, below[1][1])
    end
  end
  return table.concat(lines, '\n')
end

harness.run(function()
  vim.cmd.edit(vim.env.STARCODER_FILE)
  vim.cmd.setfiletype('python')
  wait('the server', function()
    return #vim.lsp.get_clients({ name = 'starcoder' }) == 1
  end)
  wait('the engine', function()
    return vim.tbl_contains(states, 'ready')
  end)

  vim.api.nvim_input('GA' .. vim.env.STARCODER_KEYS)
  wait('ghost text', function()
    return ghost() ~= ''
  end)
  report.ghost, report.before = ghost(), text()
  vim.api.nvim_input('<Tab>')
  wait('the suggestion to be taken', function()
    return text() ~= report.before
  end)
  report.after = text()

  local whole = { start = { line = 0, character = 0 }, ['end'] = { line = vim.api.nvim_buf_line_count(0), character = 0 } }
  report.check = harness.request(vim.lsp.get_clients({ name = 'starcoder' })[1], 'workspace/executeCommand', {
    command = 'starcoder.checkAttribution',
    arguments = { { uri = vim.uri_from_bufnr(0), range = whole } },
  })
end)
