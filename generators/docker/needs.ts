/** What a program's own source says about its image. Only what is written there in plain sight. */
export interface Needs {
  /** Listened on, where it is written as a constant. */
  readonly port: number | undefined;
  /** For people: what would be missing in an image from scratch, and the cure. */
  readonly advice: readonly string[];
}

const listening = [
  /\bListenAndServe(?:TLS)?\(\s*"[^"]*:(\d{1,5})"/,
  /\bListen\(\s*"tcp[46]?"\s*,\s*"[^"]*:(\d{1,5})"/,
  /\bAddr:\s*"[^"]*:(\d{1,5})"/,
];

/** @param sources text of the main package's files, without tests */
export function needsOf(sources: readonly string[]): Needs {
  const text = sources.map(withoutComments).join('\n');
  const ports = listening.flatMap((pattern) => pattern.exec(text)?.[1] ?? []).map(Number);
  const imports = (path: string) => text.includes(`"${path}"`);
  const advice: string[] = [];
  const speaksTls = /"https:\/\//.test(text) || /\btls\.Dial/.test(text);
  if (speaksTls && !imports('golang.org/x/crypto/x509roots/fallback')) {
    advice.push(
      'It speaks TLS, and scratch has no root certificates: import _ "golang.org/x/crypto/x509roots/fallback", or take --base=alpine.',
    );
  }
  if (/\btime\.LoadLocation\(/.test(text) && !imports('time/tzdata')) {
    advice.push('It loads time zones, and scratch has none: import _ "time/tzdata".');
  }
  if (/\bexec\.Command(?:Context)?\(/.test(text)) {
    advice.push('It starts other programs, and scratch has none: COPY them into the image, or take another base.');
  }
  const readsFiles =
    /\bos\.(?:ReadFile|Open|ReadDir)\(\s*"(?!\/(?:proc|dev|sys|etc\/(?:hosts|resolv\.conf))\b)([^"]+)"/.exec(text);
  if (readsFiles) {
    advice.push(
      `It reads "${readsFiles[1]}", which the image won't have: COPY it, embed it with //go:embed, or mount it.`,
    );
  }
  return { port: ports.find((port) => port > 0 && port < 65536), advice };
}

/** Comments outside of strings become spaces. */
function withoutComments(source: string): string {
  return source.replace(/"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)+'|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (found) =>
    found.startsWith('/') ? ' ' : found,
  );
}
