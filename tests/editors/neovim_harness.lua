-- What the scripts beside this one share: waiting while Neovim goes on working, and the report at the end.
-- Environment: STARCODER_REPORT, a file that gets the report as JSON.

local M = { report = { version = tostring(vim.version()) } }
local main

-- Waits in a coroutine: meanwhile, Neovim takes keys and messages as ever.
function M.wait(what, condition)
  local deadline = vim.uv.now() + 90000
  while not condition() do
    if vim.uv.now() > deadline then
      error('waited 90 s for ' .. what)
    end
    vim.defer_fn(function()
      coroutine.resume(main)
    end, 20)
    coroutine.yield()
  end
end

-- The answer to a request; an error answer is an error.
function M.request(client, method, params)
  local answer
  client:request(method, params, function(err, result)
    answer = { err = err, result = result }
  end)
  M.wait(method, function()
    return answer ~= nil
  end)
  assert(not answer.err, vim.inspect(answer.err))
  return answer.result
end

function M.text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

-- Runs the steps, then writes the report, with `failure` if they failed, and leaves.
function M.run(steps)
  main = coroutine.create(function()
    local fine, failure = xpcall(steps, debug.traceback)
    if not fine then
      M.report.failure = failure
    end
    vim.fn.writefile({ vim.json.encode(M.report) }, vim.env.STARCODER_REPORT)
    vim.cmd('qall!')
  end)
  vim.schedule(function()
    coroutine.resume(main)
  end)
end

return M
