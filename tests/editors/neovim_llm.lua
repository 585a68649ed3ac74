-- What llm.nvim sends (lua/llm/language_server.lua): llm-ls's methods, and what it puts into the buffer.
-- Environment: STARCODER_PYTHON, STARCODER_FILE (completed at its end), STARCODER_REPORT.

local harness = dofile(vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/neovim_harness.lua')
local report, request, text = harness.report, harness.request, harness.text

harness.run(function()
  vim.cmd.edit(vim.env.STARCODER_FILE)
  local id = assert(vim.lsp.start({
    name = 'llm-ls',
    cmd = { vim.env.STARCODER_PYTHON, '-I', '-m', 'lsp' },
    root_dir = vim.fs.dirname(vim.env.STARCODER_FILE),
  }))
  local client = assert(vim.lsp.get_client_by_id(id))
  harness.wait('the server', function()
    return client.initialized
  end)

  vim.cmd.normal({ 'G$', bang = true })
  local row = vim.api.nvim_win_get_cursor(0)[1]
  local line = vim.api.nvim_get_current_line()
  local params = {
    textDocument = vim.lsp.util.make_text_document_params(0),
    position = { line = row - 1, character = #line },
    model = 'bigcode/starcoder2-15b',
    backend = 'huggingface',
    requestBody = { parameters = { max_new_tokens = 60, temperature = 0.2, top_p = 0.95 } },
    tokensToClear = { '<|endoftext|>' },
    fim = { enabled = true, prefix = '<fim_prefix>', middle = '<fim_middle>', suffix = '<fim_suffix>' },
    contextWindow = 1024,
    tlsSkipVerifyInsecure = false,
    ide = 'neovim',
    disableUrlPathCompletion = false,
  }
  report.before = text()
  local result = request(client, 'llm-ls/getCompletions', params)
  local generated = result.completions[1].generated_text
  report.ghost = generated
  vim.api.nvim_buf_set_text(0, row - 1, #line, row - 1, #line, vim.split(generated, '\n'))
  report.after = text()
  request(client, 'llm-ls/acceptCompletion', {
    requestId = result.request_id,
    acceptedCompletion = 0,
    shownCompletions = { 0 },
    completions = result.completions,
  })
  local book = request(client, 'workspace/executeCommand', { command = 'starcoder.showLatencyBook', arguments = {} })
  report.accepted = book.accepted
end)
