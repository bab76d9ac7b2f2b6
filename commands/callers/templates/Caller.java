import java.net.http.HttpClient;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.web.client.RestClient;

public class Caller {
  public static void main(String[] args) {
    var http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    var factory = new JdkClientHttpRequestFactory(http);
    factory.setReadTimeout(Duration.ofMinutes(15));
    var client = RestClient.builder()
        .baseUrl(System.getenv("SLM_URL"))
        .requestFactory(factory)
        .defaultHeader("CF-Access-Client-Id", System.getenv("SLM_CLIENT_ID"))
        .defaultHeader("CF-Access-Client-Secret", System.getenv("SLM_CLIENT_SECRET"))
        .build();

    var answer = client.post()
        .uri("/v1/chat/completions")
        .body(Map.of(
            "model", System.getenv("SLM_MODEL"),
            "messages", List.of(Map.of("role", "user", "content", "계약서를 요약해 주세요."))))
        .retrieve() // a status of 400 or more is thrown as a RestClientResponseException
        .body(Map.class);
    System.out.println(answer.get("choices"));
  }
}
