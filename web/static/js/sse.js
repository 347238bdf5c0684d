// Server-sent events over fetch: EventSource cannot POST or carry a CSRF token.

/** Splits a text/event-stream body into { event, data } with data parsed as JSON. Comments (": …") keep it alive. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      buffer += value;
      // A CR may end one chunk and its LF begin the next: leave the last character until more is known.
      const parts = buffer.split(/\r\n\r\n|\n\n|\r\r(?!\n)/);
      buffer = parts.pop();
      for (const part of parts) {
        const parsed = parse(part);
        if (parsed) yield parsed;
      }
    }
    const last = parse(buffer);
    if (last) yield last;
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (!data.length) return null;
  try {
    return { event, data: JSON.parse(data.join("\n")) };
  } catch {
    return null;
  }
}
