/** What a program's own source says about its image. Only what is written there in plain sight. */
export interface SourceFacts {
  /** Listened on, where it is written as a constant. */
  readonly port: number | undefined;
  /** A file that is read by a constant name. */
  readonly file: string | undefined;
}

const listening = [
  /\bListenAndServe(?:TLS)?\(\s*"[^"]*:(\d{1,5})"/,
  /\bListen\(\s*"tcp[46]?"\s*,\s*"[^"]*:(\d{1,5})"/,
  /\bAddr:\s*"[^"]*:(\d{1,5})"/,
];
const reading = /\bos\.(?:ReadFile|Open|ReadDir)\(\s*"(?!\/(?:proc|dev|sys|etc\/(?:hosts|resolv\.conf))\b)([^"]+)"/;

/** @param sources text of the main package's files, without tests */
export function readSources(sources: readonly string[]): SourceFacts {
  const text = sources.map(withoutComments).join('\n');
  const ports = listening.flatMap((pattern) => pattern.exec(text)?.[1] ?? []).map(Number);
  return { port: ports.find((port) => port > 0 && port < 65536), file: reading.exec(text)?.[1] };
}

/** Comments outside of strings become spaces. */
function withoutComments(source: string): string {
  return source.replace(/"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)+'|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (found) =>
    found.startsWith('/') ? ' ' : found,
  );
}
