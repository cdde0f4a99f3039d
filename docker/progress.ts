/** One line of the JSON stream that an engine answers builds and loads with (the docker command's jsonmessage). */
export interface ProgressEvent {
  readonly stream?: string;
  readonly status?: string;
  readonly id?: string;
  readonly aux?: unknown;
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}

/**
 * The events of such a stream as they come. An answer that breaks off is thrown, which dockerode's own followProgress takes
 * for the end of a successful one; an event that tells of a failure is handed on like any other (see failureOf).
 */
export async function* progressEvents(answer: NodeJS.ReadableStream): AsyncGenerator<ProgressEvent> {
  answer.setEncoding('utf8');
  let rest = '';
  for await (const chunk of answer) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as ProgressEvent;
  }
  if (rest.trim() !== '') yield JSON.parse(rest) as ProgressEvent;
}

/** What went wrong, in the engine's words, where `event` tells of a failure. */
export function failureOf(event: ProgressEvent): string | undefined {
  return (event.errorDetail?.message || event.error)?.trim();
}
