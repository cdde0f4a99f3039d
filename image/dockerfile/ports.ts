import { WordError } from './words';

/**
 * Reads EXPOSE's words: `80`, `80/udp`, `8000-8010`, and the `[ip:]hostPort:containerPort` that Docker takes too.
 * @returns `8080/tcp`, a range written out, in order
 * @throws WordError
 * https://docs.docker.com/reference/dockerfile/#expose
 */
export function parsePorts(words: readonly string[]): readonly string[] {
  return words.flatMap((word) => {
    const parts = word.split(':');
    const container = parts.at(-1)!;
    const slash = container.indexOf('/');
    const ports = slash < 0 ? container : container.slice(0, slash);
    const protocol = (slash < 0 ? '' : container.slice(slash + 1)).toLowerCase() || 'tcp';
    const range = parseRange(ports);
    const hostPort = parts.length > 1 ? parts.at(-2)! : '';
    const hostRange = hostPort === '' ? range : parseRange(hostPort);
    if (!range || !hostRange || !['tcp', 'udp', 'sctp'].includes(protocol)) {
      throw new WordError(`"${word}" is no port: EXPOSE takes 8080, 8080/udp or 8000-8010`);
    }
    const count = range.end - range.start;
    if (count !== 0 && hostRange.end - hostRange.start !== count) {
      throw new WordError(`"${word}" has ranges of different length`);
    }
    return Array.from({ length: count + 1 }, (_, index) => `${range.start + index}/${protocol}`);
  });
}

function parseRange(text: string): { readonly start: number; readonly end: number } | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!match) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2] ?? match[1]);
  return start <= end && end <= 65535 ? { start, end } : undefined;
}
